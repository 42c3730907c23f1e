"""Sets of labelled images with pixels in [-1, 1]."""

from toylab.data.images.base import Images, ImageSet, image_sets
from toylab.data.images.digits import digits_images
from toylab.data.images.fashion import fashion_images

__all__ = ["ImageSet", "Images", "digits_images", "fashion_images", "image_sets"]

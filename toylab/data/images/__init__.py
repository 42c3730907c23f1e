"""Sets of labelled images: pixels in [-1, 1], one file per set."""

from toylab.data.images.digits import digits_images
from toylab.data.images.fashion import fashion_images
from toylab.data.images.images import Images
from toylab.data.images.imageset import ImageSet, image_sets

__all__ = ["ImageSet", "Images", "digits_images", "fashion_images", "image_sets"]

"""What Streamlit cannot do itself: small components of plain JavaScript, without a build."""

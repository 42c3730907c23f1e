"""What Streamlit has no widget for, in plain JavaScript without a build."""

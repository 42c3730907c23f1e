"""The lab: `streamlit run app.py`."""

import streamlit as st

from toylab.ui import router

st.set_page_config(page_title="toylab", layout="wide", initial_sidebar_state="collapsed")
router.run()

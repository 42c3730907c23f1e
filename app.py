"""The lab: `streamlit run app.py`."""

import streamlit as st

from toylab.ui import router
from toylab.ui.charts import theme

st.set_page_config(page_title="toylab", layout="wide", initial_sidebar_state="collapsed")
theme.apply(*router.styles())
router.run()

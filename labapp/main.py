"""The front door: `streamlit run labapp/main.py`.

Sets up the window, the sidebar beside every page and the pages themselves; what a page shows is in `labapp/app/views/`.
When the first page is there, torch is loaded behind it.
With LABAPP_STARTER=1 an archive without runs gets the starter comparison, and an interrupted one goes on.
"""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
# Streamlit puts this file's folder first on the path, where `labapp/config.py` would answer to `import config`. The
# folder around it takes its place, so that the app also runs without being installed; where it is installed that is the
# folder of all packages, which keeps the place that it has.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != PROJECT / "labapp"]
if PROJECT not in (Path(entry or ".").resolve() for entry in sys.path):
    sys.path.insert(0, str(PROJECT))

import streamlit as st  # noqa: E402

from labapp import app  # noqa: E402

app.promptly()  # `labapp app` did these two when the server began
app.quickly()
st.set_page_config(page_title="labapp", page_icon=str(PROJECT / "labapp/app/icon.svg"), layout="wide")
page = st.navigation(
    {
        "Runs": [
            st.Page("app/views/overview.py", title="Overview", icon=":material/show_chart:", default=True),
            st.Page("app/views/gradient_flow.py", title="Gradient flow", icon=":material/stacked_line_chart:"),
            st.Page("app/views/signals.py", title="Signals", icon=":material/sensors:"),
            st.Page("app/views/compare.py", title="Compare", icon=":material/compare_arrows:"),
        ],
        "Inside": [
            st.Page("app/views/gradcam.py", title="Grad-CAM", icon=":material/center_focus_strong:"),
            st.Page("app/views/feature_reuse.py", title="Feature reuse", icon=":material/change_history:"),
            st.Page("app/views/representation.py", title="Representation", icon=":material/grid_on:"),
            st.Page("app/views/architecture.py", title="Architecture", icon=":material/account_tree:"),
            st.Page("app/views/others.py", title="Other diagnostics", icon=":material/extension:"),
        ],
        "Papers": [st.Page("app/views/claims.py", title="Claims", icon=":material/fact_check:")],
        "Help": [st.Page("app/views/method.py", title="Method", icon=":material/functions:")],
    }
)
os.environ.setdefault(
    "LABAPP_DATA", ""
)  # of images that runs name: in the working folder alone, see config/permissions
if os.environ.get("LABAPP_STARTER") == "1":  # as `make app` says
    app.begin_starter(os.environ.get("LABAPP_RUNS", "runs"))
app.draw_sidebar()
page.run()
app.sent()
app.warm(app.opened().chosen)

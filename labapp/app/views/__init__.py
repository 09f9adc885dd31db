"""One page, one question; each is a script that Streamlit runs, and importable without drawing anything."""

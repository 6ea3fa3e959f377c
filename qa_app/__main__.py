"""Lets ``python -m qa_app`` be the command ``qa-app``."""

from qa_app.cli.main import run

if __name__ == "__main__":
    run()

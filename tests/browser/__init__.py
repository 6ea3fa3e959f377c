"""The page in a real Chromium, over the real API and the real reader."""

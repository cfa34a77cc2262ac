"""The main job end to end on real data: `python -m training demo`."""

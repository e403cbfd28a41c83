"""What leaves a run: exported files, predictions and figures of speed."""

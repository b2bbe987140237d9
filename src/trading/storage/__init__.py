"""Files that survive a crash: where they live, how they are written, who may write."""

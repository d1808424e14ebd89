"""What training reads: caption trees, questions, trajectories, and the corpora they come from."""

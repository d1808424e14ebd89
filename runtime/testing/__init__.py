"""What tests and measurements need instead of models and films: a scripted chat server and videos of numbers."""

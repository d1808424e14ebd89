"""`clipscout ask`: one video, one question, an answer with its evidence and its price."""

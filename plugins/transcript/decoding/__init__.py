"""From windows to words: whisper's decoding, its doubts, and what is missing."""

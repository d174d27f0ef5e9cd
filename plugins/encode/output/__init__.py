"""What is written: MP4, HLS, DASH, pictures, texts, and what tells of them."""

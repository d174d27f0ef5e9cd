"""What is heard: the sound of a file, where somebody speaks in it, whisper's windows."""

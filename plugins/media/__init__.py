"""What the plugins that read media share; no plugin itself."""

"""What machines print, as facts that each know their line."""

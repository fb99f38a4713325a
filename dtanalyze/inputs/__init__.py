"""Where trees come from: files and what is inside them. Beside the command line the only part that reads anything."""

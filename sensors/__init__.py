"""Event sources: sensor models, Tonic data sets, files, and how they are paired."""

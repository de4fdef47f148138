"""The command line of Chattifier: runs the whole system on one machine, and deploys and tends it elsewhere."""

"""MONAI Label's Datastore: a folder or an archive, which survive a crash."""

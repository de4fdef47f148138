"""The manifests, as far as no cluster is needed to judge them."""

"""Footage and annotations in; videos, truth, clips and batches out."""

"""What `asap bench` can measure: each module has a `measure`, which gives figures as they are known."""

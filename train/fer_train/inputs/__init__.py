"""From images to batches: targets, mixing, augmentation."""

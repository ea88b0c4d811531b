"""What runs by itself: workers, timers and the reconcile loop."""

"""What every front needs and none may colour: no await, no thread, no sleep."""

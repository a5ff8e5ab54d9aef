"""How long the history, a judgement and a rebuild take, by how many nights and runs there are."""

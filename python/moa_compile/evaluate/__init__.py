"""What a model still does under a plan: retrieval, loss on texts, agreement with itself when dense
(`moa-compile evaluate`, docs/evaluate.md)."""

"""Room of ``audit_model``: where the model comes from, figure, report and claims of an audit."""

"""What users would write instead of Vitalflow, each as its documentation teaches.

They do less: a key, a required field and the audit columns, but no contract, no bounds, no id that
survives a repeat. What they share with ours is the sink and the promise: no answer before the
publish is acknowledged.
"""

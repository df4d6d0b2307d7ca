"""The composition law: how schedule, policies, operators and guardrails make one learning rate.

    applied_g(t) = guard_g( hold_g                                           where an operator holds
                            base_g(t) * (prod_i factor_ig(t) * operator_g(t))  otherwise )

Pure: no files, no sockets, no torch, no clock but the one handed in. `Steering` is called once per
step boundary and answers with the LRs of the next step and the decisions behind them. It may ask
`rheostat_policies` for what schedules and policies are, `spec` for the guardrails, and `errors`.
"""

"""The ``ocs`` command: what operators type. Business rules live in ocs.provisioning.

main       the command tree, and the one place that turns errors into sentences and exit codes
command    what all commands share: options, examples, the run's context
output     tables for people, JSON for machines
           and one module per command group
"""

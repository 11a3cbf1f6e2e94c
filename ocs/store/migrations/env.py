"""Runs the steps on the connection that migrations.upgrade has opened; called by Alembic."""

from alembic import context

from ocs.store.migrations import VERSION_TABLE
from ocs.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

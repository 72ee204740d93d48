"""Results partitioned by day and room on the pages of the row that every check writes (PostgreSQL)"""

from django.db import migrations

PARTITIONED = """
CREATE TABLE monitors_result_parted (LIKE monitors_result INCLUDING DEFAULTS, CONSTRAINT monitors_result_by_day PRIMARY KEY (monitor_id, ts, probe_id)) PARTITION BY RANGE (ts);
DROP TABLE monitors_result;
ALTER TABLE monitors_result_parted RENAME TO monitors_result;
ALTER TABLE monitors_probestate SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
"""


def partition(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(PARTITIONED)


class Migration(migrations.Migration):
    dependencies = [("monitors", "0001_initial")]
    operations = [
        migrations.RunPython(partition, migrations.RunPython.noop),
    ]

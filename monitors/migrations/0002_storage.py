"""Results partitioned by day and room on the pages of the row that every check writes (PostgreSQL); the built-in probe."""

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


def built_in_probe(apps, schema_editor):
    apps.get_model("monitors", "Probe").objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})


class Migration(migrations.Migration):
    dependencies = [("monitors", "0001_initial")]
    operations = [
        migrations.RunPython(partition, migrations.RunPython.noop),
        migrations.RunPython(built_in_probe, migrations.RunPython.noop),
    ]

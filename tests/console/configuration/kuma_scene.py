"""An Uptime Kuma as its files hold it: the tables and columns of its database, the names of its backup. Ours in every value."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

TABLES = {
    "monitor": "id INTEGER PRIMARY KEY, name VARCHAR(150), active BOOLEAN DEFAULT 1, user_id INTEGER, interval INTEGER DEFAULT 20, url TEXT, type VARCHAR(20),"
    " weight INTEGER DEFAULT 2000, hostname VARCHAR(255), port INTEGER, keyword VARCHAR(255), maxretries INTEGER DEFAULT 0, ignore_tls BOOLEAN DEFAULT 0,"
    " upside_down BOOLEAN DEFAULT 0, maxredirects INTEGER DEFAULT 10, accepted_statuscodes_json TEXT DEFAULT '[\"200-299\"]', dns_resolve_type VARCHAR(5),"
    " dns_resolve_server VARCHAR(255), retry_interval INTEGER DEFAULT 0, push_token VARCHAR(32), method TEXT DEFAULT 'GET', body TEXT, headers TEXT,"
    " basic_auth_user TEXT, basic_auth_pass TEXT, docker_host INTEGER, docker_container VARCHAR(255), proxy_id INTEGER, expiry_notification BOOLEAN DEFAULT 1,"
    " database_connection_string VARCHAR(2000), database_query TEXT, auth_method VARCHAR(250), grpc_url VARCHAR(255), grpc_enable_tls BOOLEAN DEFAULT 0,"
    " radius_password VARCHAR(255), resend_interval INTEGER DEFAULT 0, packet_size INTEGER DEFAULT 56, http_body_encoding VARCHAR(25), description TEXT,"
    " tls_ca TEXT, tls_cert TEXT, tls_key TEXT, parent INTEGER, invert_keyword BOOLEAN DEFAULT 0, json_path TEXT, expected_value VARCHAR(255),"
    " json_path_operator VARCHAR(255), timeout DOUBLE DEFAULT 0, snmp_oid TEXT, snmp_version TEXT, smtp_security TEXT, conditions TEXT DEFAULT '[]', ip_family VARCHAR(10)",
    "notification": "id INTEGER PRIMARY KEY, name VARCHAR(255), active BOOLEAN DEFAULT 1, user_id INTEGER, is_default BOOLEAN DEFAULT 0, config TEXT",
    "monitor_notification": "id INTEGER PRIMARY KEY, monitor_id INTEGER, notification_id INTEGER",
    "tag": "id INTEGER PRIMARY KEY, name VARCHAR(255), color VARCHAR(255)",
    "monitor_tag": "id INTEGER PRIMARY KEY, monitor_id INTEGER, tag_id INTEGER, value TEXT",
    "proxy": "id INTEGER PRIMARY KEY, protocol VARCHAR(10), host VARCHAR(255), port SMALLINT, auth BOOLEAN, username VARCHAR(255), password VARCHAR(255), active BOOLEAN",
    "maintenance": "id INTEGER PRIMARY KEY, title VARCHAR(150), description TEXT, active BOOLEAN DEFAULT 1, strategy VARCHAR(50), start_date DATETIME, end_date DATETIME,"
    " start_time TIME, end_time TIME, weekdays VARCHAR(250) DEFAULT '[]', days_of_month TEXT DEFAULT '[]', interval_day INTEGER, cron TEXT, timezone VARCHAR(255), duration INTEGER",
    "monitor_maintenance": "id INTEGER PRIMARY KEY, monitor_id INTEGER, maintenance_id INTEGER",
    "status_page": "id INTEGER PRIMARY KEY, slug VARCHAR(255), title VARCHAR(255), description TEXT, icon VARCHAR(255), theme VARCHAR(30), published BOOLEAN DEFAULT 1,"
    " password VARCHAR, footer_text TEXT, custom_css TEXT",
    "group": "id INTEGER PRIMARY KEY, name VARCHAR(255), public BOOLEAN, active BOOLEAN, weight INTEGER, status_page_id INTEGER",
    "monitor_group": "id INTEGER PRIMARY KEY, monitor_id INTEGER, group_id INTEGER, weight INTEGER",
    "status_page_cname": "id INTEGER PRIMARY KEY, status_page_id INTEGER, domain VARCHAR",
    "heartbeat": "id INTEGER PRIMARY KEY, important BOOLEAN, monitor_id INTEGER, status SMALLINT, msg TEXT, time DATETIME, ping INTEGER",
    "setting": "id INTEGER PRIMARY KEY, key VARCHAR(200), value TEXT, type VARCHAR(20)",
}  # fmt: skip

SLACK = "https://hooks.slack.com/services/T00/B00/canary-kuma-slack"
MONITORS: list[dict[str, Any]] = [
    {"id": 1, "name": "Shop", "type": "keyword", "url": "https://shop.acme.example/health", "keyword": "cart", "interval": 30, "maxretries": 2, "retry_interval": 20,
     "method": "POST", "body": '{"ping": 1}', "http_body_encoding": "json", "headers": '{"X-Api-Key": "canary-kuma-key"}', "auth_method": "basic",
     "basic_auth_user": "watch", "basic_auth_pass": "canary-kuma-pass", "accepted_statuscodes_json": '["200-299", "301"]', "timeout": 12.5, "ignore_tls": 1,
     "maxredirects": 0, "description": "The shop\nitself", "resend_interval": 60, "proxy_id": 1, "parent": 9},
    {"id": 2, "name": "Gateway", "type": "ping", "hostname": "gw.acme.example", "interval": 20, "upside_down": 1, "parent": 9, "packet_size": 100},
    {"id": 3, "name": "Nightly backup", "type": "push", "interval": 86400, "push_token": "canarypushtoken", "maxretries": 1, "retry_interval": 3600},
    {"id": 4, "name": "API", "type": "json-query", "url": "https://api.acme.example/status", "json_path": "state.db", "expected_value": "ok", "json_path_operator": "==", "interval": 1000000},
    {"id": 5, "name": "Orders", "type": "postgres", "database_connection_string": "postgres://app:canary-kuma-db@db.acme.example:5433/orders", "database_query": "SELECT 1", "interval": 60},
    {"id": 6, "name": "Broker", "type": "mqtt", "hostname": "mq.acme.example", "interval": 60},
    {"id": 7, "name": "Zone", "type": "dns", "hostname": "acme.example", "dns_resolve_type": "MX", "dns_resolve_server": "1.1.1.1, 8.8.8.8", "interval": 60, "active": 0},
    {"id": 8, "name": "Shop", "type": "port", "hostname": "shop.acme.example", "port": 443, "interval": 60},
    {"id": 9, "name": "Lisbon", "type": "group", "interval": 60, "parent": 10},
    {"id": 10, "name": "Everything", "type": "group", "interval": 60},
    {"id": 11, "name": "Thing", "type": "teleport", "interval": 60},
    {"id": 13, "name": "Itself", "type": "http", "url": "http://169.254.169.254/latest", "interval": 60},
    {"id": 14, "name": "Printer", "type": "ping", "hostname": "192.168.7.20", "interval": 60},
    {"id": 12, "name": "No port", "type": "port", "hostname": "x.acme.example", "interval": 60},
]  # fmt: skip
NOTIFICATIONS = [
    {
        "id": 1,
        "name": "Ops chat",
        "config": json.dumps({"type": "slack", "name": "Ops chat", "slackwebhookURL": SLACK}),
        "is_default": 1,
    },
    {
        "id": 2,
        "name": "Phone",
        "config": json.dumps(
            {
                "type": "ntfy",
                "ntfyserverurl": "https://ntfy.example.com",
                "ntfytopic": "acme",
                "ntfyaccesstoken": "tk_canarykuma",
            }
        ),
    },
    {
        "id": 3,
        "name": "Mail",
        "config": json.dumps(
            {
                "type": "smtp",
                "smtpHost": "mx",
                "smtpTo": "noc@acme.example, cto@acme.example",
                "smtpPassword": "canary-kuma-smtp",
            }
        ),
    },
    {"id": 4, "name": "Sirens", "config": json.dumps({"type": "alerta", "alertaApiKey": "canary-kuma-alerta"})},
]
LINKS = {1: [1, 2], 2: [1], 3: [1, 3], 4: [1], 5: [1], 7: [1], 8: [1], 9: [1], 10: [1], 14: [1]}
PROXIES = [
    {
        "id": 1,
        "protocol": "http",
        "host": "proxy.acme.example",
        "port": 3128,
        "auth": 1,
        "username": "p",
        "password": "canary-kuma-proxy",
        "active": 1,
    }
]
CANARIES = ("canary-kuma", "canarykuma", "canarypushtoken")
REST: dict[str, list[dict[str, Any]]] = {
    "tag": [{"id": 1, "name": "prod", "color": "#fff"}, {"id": 2, "name": "team", "color": "#000"}],
    "monitor_tag": [{"monitor_id": 1, "tag_id": 1, "value": ""}, {"monitor_id": 1, "tag_id": 2, "value": "web, shop"}],
    "maintenance": [
        {"id": 1, "title": "Sunday updates", "strategy": "recurring-weekday", "start_time": "02:00:00", "end_time": "04:30:00", "weekdays": "[0]", "timezone": "Europe/Lisbon", "start_date": "2025-03-01 00:00:00"},
        {"id": 2, "title": "Month's end", "strategy": "recurring-day-of-month", "start_time": "23:30", "end_time": "00:30", "days_of_month": '[15, "lastDay1"]', "timezone": "SAME_AS_SERVER"},
        {"id": 3, "title": "Move", "strategy": "single", "start_date": "2025-03-01 00:00:00", "end_date": "2025-03-01 01:00:00"},
        {"id": 4, "title": "Cron", "strategy": "cron", "cron": "0 3 * * *", "duration": 60},
    ],
    "monitor_maintenance": [{"monitor_id": 1, "maintenance_id": 1}, {"monitor_id": 2, "maintenance_id": 1}, {"monitor_id": 1, "maintenance_id": 2}],
    "status_page": [{"id": 1, "slug": "acme", "title": "Acme status", "description": "How we are", "icon": "/upload/logo1.png", "theme": "dark", "custom_css": "body{}"}],
    "group": [{"id": 1, "name": "Web", "weight": 1, "status_page_id": 1}],
    "monitor_group": [{"monitor_id": 8, "group_id": 1, "weight": 2}, {"monitor_id": 1, "group_id": 1, "weight": 1}, {"monitor_id": 6, "group_id": 1, "weight": 3}],
    "status_page_cname": [{"status_page_id": 1, "domain": "status.acme.example"}],
    "heartbeat": [{"monitor_id": 1, "status": 1, "msg": "200 - OK", "time": "2026-01-01 00:00:00", "ping": 12}],
    "setting": [{"key": "jwtSecret", "value": '"canary-kuma-jwt"', "type": ""}],
}  # fmt: skip


def database(path: Path) -> Path:
    """A kuma.db with all of it."""
    rows = {"monitor": MONITORS, "notification": NOTIFICATIONS, "proxy": PROXIES, **REST}
    rows["monitor_notification"] = [{"monitor_id": m, "notification_id": n} for m, ids in LINKS.items() for n in ids]
    with closing(sqlite3.connect(path)) as made, made:
        for table, columns in TABLES.items():
            made.execute(f'CREATE TABLE "{table}" ({columns})')
            for row in rows.get(table, ()):
                marks = ", ".join("?" * len(row))
                made.execute(f'INSERT INTO "{table}" ({", ".join(row)}) VALUES ({marks})', list(row.values()))
    return path


CAMEL = {"retry_interval": "retryInterval", "ignore_tls": "ignoreTls", "upside_down": "upsideDown", "http_body_encoding": "httpBodyEncoding", "auth_method": "authMethod",
         "resend_interval": "resendInterval", "proxy_id": "proxyId", "packet_size": "packetSize", "push_token": "pushToken", "json_path": "jsonPath",
         "expected_value": "expectedValue", "json_path_operator": "jsonPathOperator", "database_connection_string": "databaseConnectionString",
         "database_query": "databaseQuery"}  # fmt: skip


def backup() -> dict[str, Any]:
    """The same as a backup has it."""
    monitors = []
    for row in MONITORS:
        m = {CAMEL.get(name, name): value for name, value in row.items() if name != "accepted_statuscodes_json"}
        m["accepted_statuscodes"] = json.loads(row.get("accepted_statuscodes_json", '["200-299"]'))
        m["notificationIDList"] = {str(n): True for n in LINKS.get(row["id"], ())}
        m["tags"] = (
            [
                {"tag_id": 1, "monitor_id": 1, "value": "", "name": "prod", "color": "#fff"},
                {"tag_id": 2, "value": "web, shop", "name": "team"},
            ]
            if row["id"] == 1
            else []
        )
        m["active"] = bool(row.get("active", 1))
        monitors.append(m)
    return {"version": "1.23.16", "notificationList": NOTIFICATIONS, "monitorList": monitors, "proxyList": PROXIES}

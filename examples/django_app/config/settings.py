"""The settings, as the environment says: DATABASE, PARTNER_KEY, ALLOWED_HOSTS, and PROBE=1 on a test system."""

import os

PARTNER_KEY = os.environ["PARTNER_KEY"]
PROBE = os.environ.get("PROBE") == "1"

ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost").split(",")
INSTALLED_APPS = ["postbacks"]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", "postbacks.sqlite"),
        "OPTIONS": {
            "timeout": 5,
            # In WAL mode SQLite would else answer before a record is on the disk.
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
            "transaction_mode": "IMMEDIATE",
        },
    }
}

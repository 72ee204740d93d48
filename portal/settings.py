"""How is this installation configured? Read top to bottom; every value comes from the environment (README lists them).

Mistakes are collected in `portal.environment.mistakes` and named, with the cure, by `manage.py check`.
"""

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from portal import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent
env.load_env_file(BASE_DIR / ".env")

# --- Who we are -----------------------------------------------------------------------------------------------
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "data"))).resolve()
BASE_URL = env.text("BASE_URL", "http://localhost:8000").rstrip("/")
if urlsplit(BASE_URL).scheme not in ("http", "https") or not urlsplit(BASE_URL).hostname:
    env.mistakes.append(f"BASE_URL={BASE_URL!r} is not an address; set for example BASE_URL=https://portal.example")
    BASE_URL = "http://localhost:8000"
HTTPS = BASE_URL.startswith("https://")

SECRET_KEY = env.generated("SECRET_KEY", DATA_DIR)
ENCRYPTION_KEYS = [
    k.strip() for k in env.generated("ENCRYPTION_KEYS", DATA_DIR, env.fernet_key).split(",") if k.strip()
]
DEBUG = False
ALLOWED_HOSTS = sorted(
    {urlsplit(BASE_URL).hostname or "localhost", "localhost", "127.0.0.1", "[::1]"}
    | set(filter(None, env.text("ALLOWED_HOSTS").split(",")))
)
CSRF_TRUSTED_ORIGINS = [BASE_URL]
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")  # whose X-Forwarded-For is believed

# --- Apps, from the ground up (layers: docs/decisions/0001-layers.md) --------------------------------------------
INSTALLED_APPS = [
    "portal",
    "alerts",
    "monitors",
    "incidents",
    "statuspages",
    "playbooks",
    "console",
    "portal.admin.config.DeskConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",  # its templates of widgets, some of which ours replace
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_celery_beat",
    "django_filters",
    "django_htmx",
    "template_partials",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "portal.middleware.RequestId",
    "portal.middleware.CallersAddress",
    "portal.middleware.Unavailable",
    "portal.doors.ByWhichName",
    "statuspages.serving.PublicPages",
    "django.middleware.gzip.GZipMiddleware",  # with a file name of random length, against guessing by size (BREACH)
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "portal.middleware.ContentSecurityPolicy",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.doors.OwnPeople",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "portal.throttle.KnownBrowsers",
    "portal.sessions.LastSeen",
    "portal.mfa_gate.StaffSecondStep",
    "portal.viewing.OnlyLooking",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.shell.context",
                "portal.door_sign_in.face",
            ],
            "builtins": ["portal.templatetags.face", "portal.templatetags.parts"],
        },
    }
]

FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- Database: the truth -------------------------------------------------------------------------------------------
DATABASES = {"default": env.database("DATABASE_URL", DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ONE_MACHINE = not env.text("REDIS_URL")

# --- Broker and cache: a doorbell and a memory; both may die at any time ------------------------------------------
REDIS_URL = env.text("REDIS_URL")
CELERY_BROKER_URL = REDIS_URL or "memory://"
if REDIS_URL:
    CACHES = {"default": {"BACKEND": "portal.cache.PatientRedisCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "wk"}}
else:
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 20000}}
    }
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# --- People ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "portal.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # e-mails are unique without regard to case, by the constraint one_user_per_email
    # `check --deploy` names what an operator can change; the key is judged by portal.checks, http → https is the proxy's:
    "security.W009", "security.W005", "security.W021", "security.W008",
    "drf_spectacular.W001",  # names in the API's schema
]  # fmt: skip
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "portal.door_sign_in.AtEachDoor"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # no mail to addresses that strangers type
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGOUT_REDIRECT_URL = "/login/"
ACCOUNT_SESSION_REMEMBER = True

# --- Second steps: an app's codes, passkeys, recovery codes ----------------------------------------------------------
REQUIRE_STAFF_MFA = env.choice("REQUIRE_STAFF_MFA", ("on", "off"), "off") == "on"
# Browsers keep passkeys for a name with https, or for localhost; never for a bare address.
PASSKEYS_POSSIBLE = bool(re.search(r"^https://[^/:\[]*[a-z]|^http://localhost(?=[:/]|$)", BASE_URL, re.I))
MFA_ADAPTER = "portal.door_sign_in.KeysOfEachDoor"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", *(["webauthn"] if PASSKEYS_POSSIBLE else [])]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # people are invited by mail; nobody signs up
MFA_RECOVERY_CODE_COUNT = 10
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_FORMS = {
    "authenticate": "portal.mfa_pages.CodeForm",
    "reauthenticate": "portal.mfa_pages.CodeAgainForm",
    "activate_totp": "portal.mfa_pages.AppForm",
    "add_webauthn": "portal.mfa_pages.PasskeyForm",
    "edit_webauthn": "portal.mfa_pages.PasskeyNameForm",
    "authenticate_webauthn": "portal.mfa_pages.PasskeyStepForm",
    "login_webauthn": "portal.mfa_pages.PasskeySignInForm",
    "reauthenticate_webauthn": "portal.mfa_pages.PasskeyAgainForm",
}

# --- Cookies and headers --------------------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 14 * 24 * 3600
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Languages, time, static files -----------------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
FORMAT_MODULE_PATH = ["portal.formats"]  # 24 hours a day
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- API ---------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["portal.api.authentication.BearerToken", "portal.api.authentication.Session"],
    "DEFAULT_PERMISSION_CLASSES": ["portal.api.permissions.Scoped"],
    "DEFAULT_PAGINATION_CLASS": "portal.api.pagination.Newest",
    "DEFAULT_FILTER_BACKENDS": ["portal.api.filters.Filters"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["portal.api.parsing.Json"],
    "DEFAULT_SCHEMA_CLASS": "portal.api.schema.Schema",
    "DEFAULT_THROTTLE_CLASSES": ["portal.api.throttling.PerToken"],
    "DEFAULT_THROTTLE_RATES": {"token": env.text("API_RATE", "6000/min")},
    "EXCEPTION_HANDLER": "portal.api.errors.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Watchkeeper API",
    "DESCRIPTION": "Everything the pages do, for scripts. Tokens: `Authorization: Bearer wk_…`.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "/static/portal/favicon.svg",
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

# --- The way out: who may be reached -----------------------------------------------------------------------------------
OUTBOUND_ALLOW = env.networks("OUTBOUND_ALLOW")
SMTP = {
    "host": env.text("SMTP_HOST"),
    "port": env.integer("SMTP_PORT", 587),
    "user": env.text("SMTP_USER"),
    "password": env.text("SMTP_PASSWORD"),
    "sender": env.text("SMTP_FROM"),
    "tls": env.choice("SMTP_TLS", ("starttls", "tls", "none"), "starttls"),
}
DEFAULT_FROM_EMAIL = SMTP["sender"] or "watchkeeper@localhost"
EMAIL_BACKEND = "portal.mail.Backend"
SLACK_WEBHOOK_URL = env.text("SLACK_WEBHOOK_URL")
HEARTBEAT_URL = env.text("HEARTBEAT_URL")
AUDIT_HEADS = env.mail_or_url("AUDIT_HEADS", env.text("AUDIT_HEADS"), OUTBOUND_ALLOW)  # who gets signed heads

# --- Single sign-on: an OpenID Connect provider says who somebody is; what they may do stays ours -----------------------
OIDC = env.single_sign_on(
    {
        "issuer": env.text("OIDC_ISSUER"),
        "client_id": env.text("OIDC_CLIENT_ID"),
        "secret": env.text("OIDC_CLIENT_SECRET"),
        "name": env.text("OIDC_NAME"),  # what the button says after "Sign in with"
        "mfa": env.text("OIDC_MFA"),  # words in its amr or acr that count as our second step
        "require": env.choice("OIDC_REQUIRE", ("on", "off"), "off") == "on",
    },
    OUTBOUND_ALLOW,
)

# --- Diagnosis: why does it fail? -----------------------------------------------------------------------------------------
DIAGNOSIS = env.choice("DIAGNOSIS", ("on", "off"), "on") == "on"
DIAGNOSIS_RESOLVERS = env.addresses("DIAGNOSIS_RESOLVERS", "1.1.1.1,9.9.9.9")  # asked beside each probe's own
AS_TABLE = env.file("AS_TABLE")  # whose address is this? Empty: asked by DNS

# --- Status pages elsewhere ---------------------------------------------------------------------------------------------------
PUBLISH_FOLDER = env.text("PUBLISH_FOLDER")  # below it lie the static copies of status pages; empty: none
PUBLISH_COMMAND = shlex.split(env.text("PUBLISH_COMMAND"))  # run with a copy's folder as its last argument
PUBLISH_BUCKET = env.text("PUBLISH_BUCKET")  # s3://name/prefix: the copies lie there as well; empty: in none
PUBLISH_S3 = {
    "endpoint": env.text("PUBLISH_S3_ENDPOINT"),  # empty: Amazon's, of the region
    "region": env.text("PUBLISH_S3_REGION"),
    "key_id": env.text("PUBLISH_S3_KEY_ID"),
    "secret": env.text("PUBLISH_S3_SECRET"),
}

# --- Orders to probes: signed by a key that only those processes have which carry out playbooks -------------------------
ACTION_SIGNING_KEY = env.generated("ACTION_SIGNING_KEY", DATA_DIR, env.ed25519_key) if ONE_MACHINE else env.text("ACTION_SIGNING_KEY")  # fmt: skip
ACTION_PUBLIC_KEY = env.text("ACTION_PUBLIC_KEY")  # its public half, where only that is known

# --- Limits, each of them explicit ----------------------------------------------------------------------------------------
RAW_RESULT_DAYS = env.integer("RAW_RESULT_DAYS", 7)
CHANGE_DAYS = env.integer("CHANGE_DAYS", 90)
ROLLUP_DAYS = env.integer("ROLLUP_DAYS", 400)
PROBE_CONCURRENCY = env.integer("PROBE_CONCURRENCY", 5000)
SEND_CONCURRENCY = env.integer("SEND_CONCURRENCY", 256)

# --- Logs: structured, with the request's id, without secrets --------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "portal.logs.JsonFormatter"}, "plain": {"()": "portal.logs.PlainFormatter"}},
    "filters": {"without_trace": {"()": "portal.logs.WithoutTrace"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": env.choice("LOG_FORMAT", ("json", "plain"), "plain")}
    },
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "WARNING").upper()},
    "loggers": {
        "watchkeeper": {"level": env.text("LOG_LEVEL", "INFO").upper()},
        # It warns at each request that waits for a thread, when there is least time for it.
        "waitress.queue": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "WARNING", "filters": ["without_trace"]},
        # At DEBUG they write down what is sent and to which path: keys of channels.
        "apprise": {"level": "INFO"},
        "urllib3": {"level": "INFO"},
    },
}

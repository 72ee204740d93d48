"""Which address answers what? Apps are named as strings here; nothing of theirs is imported."""

from allauth.account import views as account
from django.contrib import admin
from django.urls import include, path, re_path

from portal import health, views

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("setup/", views.set_up, name="setup"),
    path("setup/<str:token>/", views.set_up, name="setup_link"),
    path("invite/<str:token>/", views.accept_invitation, name="invitation"),
    # Only the pages of allauth that we use; nobody signs up.
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("login/inactive/", account.account_inactive, name="account_inactive"),
    path("signup/", views.no_sign_up, name="account_signup"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("password/change/", account.password_change, name="account_change_password"),
    path("password/set/", account.password_set, name="account_set_password"),
    path("password/reset/", account.password_reset, name="account_reset_password"),
    path("password/reset/done/", account.password_reset_done, name="account_reset_password_done"),
    path("password/reset/key/done/", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/\Z",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("admin/", admin.site.urls),
    path("", include("alerts.urls")),
    path("", include("monitors.urls")),
    path("", include("statuspages.urls")),
    path("", include("console.urls")),
]

handler400 = "portal.views.bad_request"
handler403 = "portal.views.forbidden"
handler404 = "portal.views.not_found"
handler500 = "portal.views.broken"

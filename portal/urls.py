"""Which address answers what? Apps are named as strings here; nothing of theirs is imported."""

from allauth.account import views as account
from django.contrib import admin
from django.urls import include, path, re_path

from portal import health, mfa_pages, oidc_pages, session_pages, views

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("setup/", views.set_up, name="setup"),
    path("setup/<str:token>/", views.set_up, name="setup_link"),
    path("invite/<str:token>/", views.accept_invitation, name="invitation"),
    # Only the pages of allauth that we use; nobody signs up.
    path("login/", oidc_pages.sign_in, name="account_login"),
    path("login/oidc/", oidc_pages.begin, name="oidc_begin"),
    path("login/oidc/again/", oidc_pages.prove_again, name="oidc_again"),
    path("login/oidc/callback/", oidc_pages.callback, name="oidc_callback"),
    path("logout/", account.logout, name="account_logout"),
    path("login/inactive/", account.account_inactive, name="account_inactive"),
    path("login/second-step/", mfa_pages.step, name="mfa_authenticate"),
    path("login/passkey/", mfa_pages.sign_in_by_passkey, name="mfa_login_webauthn"),
    path("signup/", views.no_sign_up, name="account_signup"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("reauthenticate/code/", mfa_pages.prove_by_code, name="mfa_reauthenticate"),
    path("reauthenticate/passkey/", mfa_pages.prove_by_passkey, name="mfa_reauthenticate_webauthn"),
    path("security/", mfa_pages.overview, name="mfa_index"),
    path("security/app/", mfa_pages.add_app, name="mfa_activate_totp"),
    path("security/app/remove/", mfa_pages.remove_app, name="mfa_deactivate_totp"),
    path("security/codes/", mfa_pages.codes, name="mfa_view_recovery_codes"),
    path("security/codes/new/", mfa_pages.new_codes, name="mfa_generate_recovery_codes"),
    path("security/passkeys/", mfa_pages.passkeys, name="mfa_list_webauthn"),
    path("security/passkeys/add/", mfa_pages.add_passkey, name="mfa_add_webauthn"),
    path("security/passkeys/<int:pk>/", mfa_pages.rename_passkey, name="mfa_edit_webauthn"),
    path("security/passkeys/<int:pk>/remove/", mfa_pages.remove_passkey, name="mfa_remove_webauthn"),
    path("security/sessions/", session_pages.open_sessions, name="sessions"),
    path("security/sessions/end/", session_pages.end, name="sessions_end"),
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

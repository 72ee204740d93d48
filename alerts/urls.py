"""Which addresses belong to alerts? Those that people and vendors answer at; pages and the API stand in the console.

What vendors call is below /hooks/<vendor>/; the README says what to enter with each of them.
"""

from django.urls import path

from alerts import unsubscribing
from alerts.twoway import chat, page, telephone

urlpatterns = [
    path("a/<str:token>/", page.take, name="take"),
    path("u/<str:token>/", unsubscribing.unsubscribe, name="unsubscribe"),
    path("hooks/twilio/message/", telephone.twilio_message, name="hook_twilio_message"),
    path("hooks/twilio/voice/<str:token>/", telephone.twilio_voice, name="hook_twilio_voice"),
    path("hooks/twilio/status/<int:delivery>/<int:attempt>/", telephone.twilio_status, name="hook_twilio_status"),
    path("hooks/vonage/message/", telephone.vonage_message, name="hook_vonage_message"),
    path("hooks/vonage/status/", telephone.vonage_status, name="hook_vonage_status"),
    path("hooks/slack/", chat.slack, name="hook_slack"),
    path("hooks/telegram/", chat.telegram, name="hook_telegram"),
]

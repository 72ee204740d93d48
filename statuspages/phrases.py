"""How are readers spoken to, in mails and on the pages where they subscribe? English, French and Portuguese.

What a page itself says stands in `words`; statuses are taken from there.
"""

from __future__ import annotations

PHRASES: dict[str, dict[str, str]] = {
    "en": {
        "incident_opened": "New incident", "incident_update": "Incident update", "incident_resolved": "Incident resolved", "incident_reopened": "Incident reopened",
        "work_scheduled": "Planned maintenance", "work_updated": "Maintenance: update", "work_reminder": "Maintenance begins soon", "work_started": "Maintenance has begun",
        "work_verifying": "Maintenance: being verified", "work_completed": "Maintenance completed", "work_cancelled": "Maintenance cancelled",
        "affects": "Affects: {names}", "when": "From {start} to {end}", "why": "You get this because you subscribed to {page}.",
        "open": "Open the status page", "preferences": "Choose components", "leave": "Unsubscribe", "confirm": "Confirm the subscription",
        "ask_subject": "{page}: confirm your subscription",
        "ask": "Somebody, perhaps you, asked for news of {page} to be sent here. Open the link and press the button if you want them. If not, do nothing: no more than this will come.",
        "ask_known": "Somebody, perhaps you, asked for news of {page} to be sent here. They are already sent here; the links below change that.",
        "known_subject": "{page}: you are subscribed",
        "answer": "If this address is not subscribed yet, a message with a link is on its way to it. Open the link and press the button there.",
        "title": "Subscribe", "lead": "Hear of incidents and maintenance of {page}.", "how": "By", "email": "E-mail", "webhook": "Webhook", "slack": "Slack",
        "address": "E-mail address or URL", "address_help": "Slack: the URL of an incoming webhook (https://hooks.slack.com/services/…). A webhook gets JSON; its first message holds the link that confirms it.",
        "components": "Components", "components_help": "None chosen: all of them.", "send": "Subscribe", "save": "Save", "back": "Current status",
        "wrong_email": "This is not an e-mail address; write for example ana@example.com.", "wrong_url": "This is not a URL that can be used; write for example https://hooks.example.com/status.",
        "wrong_slack": "Slack's webhooks begin with https://hooks.slack.com/services/; copy the URL again from Slack.", "wrong_kind": "Choose e-mail, webhook or Slack.",
        "many": "Too many tries", "many_text": "Nothing was changed. Try again in an hour.",
        "unknown": "This link leads nowhere", "unknown_text": "It is not complete, or it is no longer good. Nothing was changed.",
        "expired": "This link is too old", "expired_text": "Nothing was changed. Subscribe once more, and a new one comes.",
        "confirm_ask": "Send news of {page} to {address}?", "confirm_button": "Yes, subscribe", "confirmed": "Subscribed", "confirmed_text": "News of {page} go to {address}.",
        "secret": "The signing secret of your webhook. It is shown this once; messages are signed as Standard Webhooks says.",
        "leave_ask": "Unsubscribe {address} from {page}?", "leave_button": "Unsubscribe", "left": "Unsubscribed", "left_text": "No more news of {page} will come.",
        "choose": "Your subscription", "choose_text": "News of {page} go to {address}.", "saved": "Saved.", "off": "This page takes no subscriptions.",
    },
    "fr": {
        "incident_opened": "Nouvel incident", "incident_update": "Incident : mise à jour", "incident_resolved": "Incident résolu", "incident_reopened": "Incident rouvert",
        "work_scheduled": "Maintenance planifiée", "work_updated": "Maintenance : mise à jour", "work_reminder": "La maintenance commence bientôt", "work_started": "La maintenance a commencé",
        "work_verifying": "Maintenance : vérification en cours", "work_completed": "Maintenance terminée", "work_cancelled": "Maintenance annulée",
        "affects": "Concerne : {names}", "when": "Du {start} au {end}", "why": "Vous recevez ce message parce que vous êtes abonné à {page}.",
        "open": "Ouvrir la page d’état", "preferences": "Choisir les composants", "leave": "Se désabonner", "confirm": "Confirmer l’abonnement",
        "ask_subject": "{page} : confirmez votre abonnement",
        "ask": "Quelqu’un, peut-être vous, a demandé que les nouvelles de {page} soient envoyées ici. Ouvrez le lien et appuyez sur le bouton si vous les voulez. Sinon, ne faites rien : rien d’autre ne viendra.",
        "ask_known": "Quelqu’un, peut-être vous, a demandé que les nouvelles de {page} soient envoyées ici. Elles le sont déjà ; les liens ci-dessous permettent d’en changer.",
        "known_subject": "{page} : vous êtes abonné",
        "answer": "Si cette adresse n’est pas encore abonnée, un message avec un lien lui est envoyé. Ouvrez le lien et appuyez sur le bouton.",
        "title": "S’abonner", "lead": "Être informé des incidents et des maintenances de {page}.", "how": "Par", "email": "E-mail", "webhook": "Webhook", "slack": "Slack",
        "address": "Adresse e-mail ou URL", "address_help": "Slack : l’URL d’un webhook entrant (https://hooks.slack.com/services/…). Un webhook reçoit du JSON ; son premier message contient le lien de confirmation.",
        "components": "Composants", "components_help": "Aucun choisi : tous.", "send": "S’abonner", "save": "Enregistrer", "back": "État actuel",
        "wrong_email": "Ce n’est pas une adresse e-mail ; écrivez par exemple ana@example.com.", "wrong_url": "Cette URL ne peut pas servir ; écrivez par exemple https://hooks.example.com/status.",
        "wrong_slack": "Les webhooks de Slack commencent par https://hooks.slack.com/services/ ; copiez de nouveau l’URL.", "wrong_kind": "Choisissez e-mail, webhook ou Slack.",
        "many": "Trop d’essais", "many_text": "Rien n’a été changé. Réessayez dans une heure.",
        "unknown": "Ce lien ne mène nulle part", "unknown_text": "Il est incomplet ou n’est plus valable. Rien n’a été changé.",
        "expired": "Ce lien est trop ancien", "expired_text": "Rien n’a été changé. Abonnez-vous de nouveau pour en recevoir un autre.",
        "confirm_ask": "Envoyer les nouvelles de {page} à {address} ?", "confirm_button": "Oui, s’abonner", "confirmed": "Abonné", "confirmed_text": "Les nouvelles de {page} sont envoyées à {address}.",
        "secret": "Le secret de signature de votre webhook. Il n’est montré que cette fois ; les messages sont signés selon Standard Webhooks.",
        "leave_ask": "Désabonner {address} de {page} ?", "leave_button": "Se désabonner", "left": "Désabonné", "left_text": "Aucune nouvelle de {page} ne viendra plus.",
        "choose": "Votre abonnement", "choose_text": "Les nouvelles de {page} sont envoyées à {address}.", "saved": "Enregistré.", "off": "Cette page n’accepte pas d’abonnements.",
    },
    "pt": {
        "incident_opened": "Novo incidente", "incident_update": "Incidente: atualização", "incident_resolved": "Incidente resolvido", "incident_reopened": "Incidente reaberto",
        "work_scheduled": "Manutenção agendada", "work_updated": "Manutenção: atualização", "work_reminder": "A manutenção começa em breve", "work_started": "A manutenção começou",
        "work_verifying": "Manutenção: em verificação", "work_completed": "Manutenção concluída", "work_cancelled": "Manutenção cancelada",
        "affects": "Afeta: {names}", "when": "De {start} a {end}", "why": "Recebe isto porque subscreveu {page}.",
        "open": "Abrir a página de estado", "preferences": "Escolher componentes", "leave": "Cancelar a subscrição", "confirm": "Confirmar a subscrição",
        "ask_subject": "{page}: confirme a sua subscrição",
        "ask": "Alguém, talvez você, pediu que as notícias de {page} fossem enviadas para aqui. Abra a ligação e carregue no botão se as quer. Se não, não faça nada: nada mais virá.",
        "ask_known": "Alguém, talvez você, pediu que as notícias de {page} fossem enviadas para aqui. Já o são; as ligações abaixo permitem mudar isso.",
        "known_subject": "{page}: já subscreveu",
        "answer": "Se este endereço ainda não subscreveu, uma mensagem com uma ligação vai a caminho. Abra a ligação e carregue no botão.",
        "title": "Subscrever", "lead": "Saber de incidentes e manutenções de {page}.", "how": "Por", "email": "E-mail", "webhook": "Webhook", "slack": "Slack",
        "address": "Endereço de e-mail ou URL", "address_help": "Slack: o URL de um webhook de entrada (https://hooks.slack.com/services/…). Um webhook recebe JSON; a primeira mensagem traz a ligação de confirmação.",
        "components": "Componentes", "components_help": "Nenhum escolhido: todos.", "send": "Subscrever", "save": "Guardar", "back": "Situação atual",
        "wrong_email": "Isto não é um endereço de e-mail; escreva por exemplo ana@example.com.", "wrong_url": "Este URL não pode ser usado; escreva por exemplo https://hooks.example.com/status.",
        "wrong_slack": "Os webhooks do Slack começam por https://hooks.slack.com/services/; copie o URL de novo.", "wrong_kind": "Escolha e-mail, webhook ou Slack.",
        "many": "Demasiadas tentativas", "many_text": "Nada foi alterado. Tente de novo daqui a uma hora.",
        "unknown": "Esta ligação não leva a lado nenhum", "unknown_text": "Está incompleta ou já não é válida. Nada foi alterado.",
        "expired": "Esta ligação é demasiado antiga", "expired_text": "Nada foi alterado. Subscreva de novo e virá outra.",
        "confirm_ask": "Enviar notícias de {page} para {address}?", "confirm_button": "Sim, subscrever", "confirmed": "Subscrito", "confirmed_text": "As notícias de {page} vão para {address}.",
        "secret": "O segredo de assinatura do seu webhook. Só é mostrado esta vez; as mensagens são assinadas segundo Standard Webhooks.",
        "leave_ask": "Cancelar a subscrição de {address} em {page}?", "leave_button": "Cancelar a subscrição", "left": "Subscrição cancelada", "left_text": "Não virão mais notícias de {page}.",
        "choose": "A sua subscrição", "choose_text": "As notícias de {page} vão para {address}.", "saved": "Guardado.", "off": "Esta página não aceita subscrições.",
    },
}  # fmt: skip


def say(language: str, key: str, **parts: object) -> str:
    """A sentence in the page's language; a language that is not known is English. Parts are put in as they are."""
    return PHRASES.get(language, PHRASES["en"])[key].format(**parts)


def all_of(language: str, **parts: object) -> dict[str, str]:
    """Every phrase, for a template."""
    return {key: say(language, key, **parts) for key in PHRASES.get(language, PHRASES["en"])}

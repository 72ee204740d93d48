"""In which words does a public page speak? English, French and Portuguese, one dictionary each.

The pages are rendered once for everybody, apart from any reader's language, hence no gettext: the page's language is a
property of the page. A test holds that the three say the same things.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, tzinfo

MONTHS = {
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "fr": [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    "pt": [
        "janeiro",
        "fevereiro",
        "março",
        "abril",
        "maio",
        "junho",
        "julho",
        "agosto",
        "setembro",
        "outubro",
        "novembro",
        "dezembro",
    ],
}
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "operational": "Operational", "degraded": "Degraded", "partial_outage": "Partial outage", "major_outage": "Major outage",
        "under_maintenance": "Under maintenance", "unknown": "No data", "all_well": "All systems operational", "more": "and {n} more",
        "colon": ": ", "investigating": "Investigating", "identified": "Identified", "monitoring": "Monitoring", "resolved": "Resolved",
        "minor": "Minor", "major": "Major", "critical": "Critical", "scheduled": "Scheduled", "in_progress": "In progress",
        "verifying": "Verifying", "completed": "Completed", "cancelled": "Cancelled", "incidents": "Incidents", "maintenance": "Maintenance",
        "components": "Components", "past": "Past incidents", "none_recent": "No incidents in the last 15 days.", "history": "History",
        "nothing_month": "Nothing was reported in this month.", "affects": "Affects", "since": "Since {a}",
        "days_ago": "90 days ago", "today": "Today", "up_share": "{p} uptime", "bars": "Last 90 days",
        "trouble_one": "1 day with trouble", "trouble": "{n} days with trouble", "empty_one": "1 day without data",
        "empty": "{n} days without data", "no_data": "no data", "disruption": "Disruption of {a}", "disruption_plain": "Disruption",
        "latency": "Response time, last 24 hours", "latency_text": "Median by the hour: now {a}, highest {b}", "cause": "Probable cause",
        "as_of": "As of {a}", "zone": "Times in {a}", "feed": "Feed", "subscribe": "Subscribe", "support": "Support", "back": "Current status",
        "password": "Password", "password_ask": "This page asks for a password.", "password_wrong": "That is not the password.",
        "password_often": "Too many attempts. Try again in a few minutes.", "open": "Open the page", "status_of": "Status of {a}",
        "announcement": "Announcement", "skip": "Skip to content",
        "targets": "Watched",
        "nothing_here": "There is nothing at this address.", "not_built": "This page is being prepared; try again in a moment.",
        "feed_private": "This page is not for everybody, and a feed reader can neither sign in nor enter a password. Give it this address; whoever has it can read the feed, so keep it to yourself.",
        "feed_password": "The address ends when the page’s password changes.",
        "feed_person": "The address is yours alone. It ends when your password changes or you may no longer read this page.",
    },
    "fr": {
        "operational": "Opérationnel", "degraded": "Dégradé", "partial_outage": "Panne partielle", "major_outage": "Panne majeure",
        "under_maintenance": "En maintenance", "unknown": "Aucune donnée", "all_well": "Tous les systèmes sont opérationnels", "more": "et {n} autres",
        "colon": " : ", "investigating": "Analyse en cours", "identified": "Cause identifiée", "monitoring": "Sous surveillance", "resolved": "Résolu",
        "minor": "Mineur", "major": "Majeur", "critical": "Critique", "scheduled": "Planifiée", "in_progress": "En cours",
        "verifying": "Vérification", "completed": "Terminée", "cancelled": "Annulée", "incidents": "Incidents", "maintenance": "Maintenance",
        "components": "Composants", "past": "Incidents passés", "none_recent": "Aucun incident ces 15 derniers jours.", "history": "Historique",
        "nothing_month": "Rien n’a été signalé ce mois-là.", "affects": "Concerne", "since": "Depuis {a}",
        "days_ago": "il y a 90 jours", "today": "Aujourd’hui", "up_share": "{p} de disponibilité", "bars": "90 derniers jours",
        "trouble_one": "1 jour perturbé", "trouble": "{n} jours perturbés", "empty_one": "1 jour sans données",
        "empty": "{n} jours sans données", "no_data": "aucune donnée", "disruption": "Perturbation : {a}", "disruption_plain": "Perturbation",
        "latency": "Temps de réponse, dernières 24 heures", "latency_text": "Médiane par heure : actuellement {a}, maximum {b}", "cause": "Cause probable",
        "as_of": "État au {a}", "zone": "Heures : {a}", "feed": "Flux", "subscribe": "S’abonner", "support": "Assistance", "back": "État actuel",
        "password": "Mot de passe", "password_ask": "Cette page demande un mot de passe.", "password_wrong": "Ce n’est pas le mot de passe.",
        "password_often": "Trop d’essais. Réessayez dans quelques minutes.", "open": "Ouvrir la page", "status_of": "État de {a}",
        "announcement": "Annonce", "skip": "Aller au contenu",
        "targets": "Surveillé",
        "nothing_here": "Il n’y a rien à cette adresse.", "not_built": "Cette page est en préparation ; réessayez dans un instant.",
        "feed_private": "Cette page n’est pas ouverte à tous, et un lecteur de flux ne peut ni se connecter ni saisir de mot de passe. Donnez-lui cette adresse ; quiconque l’a peut lire le flux, gardez-la donc pour vous.",
        "feed_password": "L’adresse cesse d’être valable quand le mot de passe de la page change.",
        "feed_person": "L’adresse n’est qu’à vous. Elle cesse d’être valable quand votre mot de passe change ou que vous ne pouvez plus lire cette page.",
    },
    "pt": {
        "operational": "Operacional", "degraded": "Degradado", "partial_outage": "Falha parcial", "major_outage": "Falha grave",
        "under_maintenance": "Em manutenção", "unknown": "Sem dados", "all_well": "Todos os sistemas operacionais", "more": "e mais {n}",
        "colon": ": ", "investigating": "Em análise", "identified": "Causa identificada", "monitoring": "Em observação", "resolved": "Resolvido",
        "minor": "Menor", "major": "Grave", "critical": "Crítico", "scheduled": "Agendada", "in_progress": "Em curso",
        "verifying": "Em verificação", "completed": "Concluída", "cancelled": "Cancelada", "incidents": "Incidentes", "maintenance": "Manutenção",
        "components": "Componentes", "past": "Incidentes anteriores", "none_recent": "Nenhum incidente nos últimos 15 dias.", "history": "Histórico",
        "nothing_month": "Nada foi comunicado neste mês.", "affects": "Afeta", "since": "Desde {a}",
        "days_ago": "há 90 dias", "today": "Hoje", "up_share": "{p} de disponibilidade", "bars": "Últimos 90 dias",
        "trouble_one": "1 dia com problemas", "trouble": "{n} dias com problemas", "empty_one": "1 dia sem dados",
        "empty": "{n} dias sem dados", "no_data": "sem dados", "disruption": "Perturbação: {a}", "disruption_plain": "Perturbação",
        "latency": "Tempo de resposta, últimas 24 horas", "latency_text": "Mediana por hora: agora {a}, máximo {b}", "cause": "Causa provável",
        "as_of": "Situação em {a}", "zone": "Horas em {a}", "feed": "Feed", "subscribe": "Subscrever", "support": "Suporte", "back": "Situação atual",
        "password": "Palavra-passe", "password_ask": "Esta página pede uma palavra-passe.", "password_wrong": "Essa não é a palavra-passe.",
        "password_often": "Demasiadas tentativas. Tente de novo daqui a alguns minutos.", "open": "Abrir a página", "status_of": "Situação de {a}",
        "announcement": "Aviso", "skip": "Ir para o conteúdo",
        "targets": "Vigiado",
        "nothing_here": "Não há nada neste endereço.", "not_built": "Esta página está a ser preparada; tente de novo dentro de momentos.",
        "feed_private": "Esta página não é aberta a todos, e um leitor de feeds não pode iniciar sessão nem introduzir uma palavra-passe. Dê-lhe este endereço; quem o tiver pode ler o feed, por isso guarde-o para si.",
        "feed_password": "O endereço deixa de ser válido quando a palavra-passe da página muda.",
        "feed_person": "O endereço é só seu. Deixa de ser válido quando a sua palavra-passe muda ou já não pode ler esta página.",
    },
}  # fmt: skip
# The probable cause in words for the public: which part it is, never a hop, an address or a name.
CAUSES: dict[str, dict[str, str]] = {
    "en": {
        "client_network": "the network at the site", "transit": "the networks on the way there", "dns": "the name service",
        "tls": "the certificate or its encryption", "server": "the server", "service": "the service on the server", "application": "the application",
    },
    "fr": {
        "client_network": "le réseau du site", "transit": "les réseaux sur le trajet", "dns": "le service de noms",
        "tls": "le certificat ou son chiffrement", "server": "le serveur", "service": "le service sur le serveur", "application": "l’application",
    },
    "pt": {
        "client_network": "a rede do local", "transit": "as redes no caminho", "dns": "o serviço de nomes",
        "tls": "o certificado ou a sua cifra", "server": "o servidor", "service": "o serviço no servidor", "application": "a aplicação",
    },
}  # fmt: skip


def word(language: str, key: str, **parts: object) -> str:
    """A word or sentence in the page's language; a language that is not known is English."""
    return WORDS.get(language, WORDS["en"])[key].format(**parts)


def cause(language: str, layer: str) -> str:
    """The layer of a verdict for readers; empty for one that says nothing to them."""
    return CAUSES.get(language, CAUSES["en"]).get(layer, "")


def sentence(language: str, status: str, names: Sequence[str], most: int = 3) -> str:
    """The page's one line: `All systems operational`, `Partial outage: Checkout, Mail and 2 more`."""
    if status == "operational":
        return word(language, "all_well")
    text = word(language, status)
    if not names:
        return text
    listed = ", ".join(names[:most])
    if len(names) > most:
        listed += f" {word(language, 'more', n=len(names) - most)}"
    return f"{text}{word(language, 'colon')}{listed}"


def day(language: str, on: date) -> str:
    """`21 November 2026`, `21 novembre 2026`, `21 de novembro de 2026`."""
    name = MONTHS.get(language, MONTHS["en"])[on.month - 1]
    return f"{on.day} de {name} de {on.year}" if language == "pt" else f"{on.day} {name} {on.year}"


def month(language: str, of: str) -> str:
    """`2026-11` as `November 2026`."""
    year, number = of.split("-")
    name = MONTHS.get(language, MONTHS["en"])[int(number) - 1]
    return f"{name} de {year}" if language == "pt" else f"{name} {year}"


def moment(language: str, at: datetime, zone: tzinfo) -> str:
    """`21 November 2026, 14:32` in the page's zone."""
    local = at.astimezone(zone)
    return f"{day(language, local.date())}, {local:%H:%M}"


def percent(language: str, value: float) -> str:
    """`99.98 %`, rounded down, so that only flawless reads 100 %; with the language's decimal mark."""
    text = "100" if value >= 100 else f"{int(value * 100 + 1e-6) / 100:.2f}"
    return f"{text if language == 'en' else text.replace('.', ',')}\u00a0%"

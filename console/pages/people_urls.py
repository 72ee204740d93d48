"""Which address answers what about people, and about looking as a client's people do?"""

from __future__ import annotations

from django.urls import path

from console.pages import people, viewing_as

urlpatterns = [
    path("people/", people.people_list, name="people"),
    path("people/invite/", people.invite, name="person_invite"),
    path("people/<int:pk>/", people.person, name="person"),
    path("people/<int:pk>/<str:verb>/", people.press, name="person_press"),
    path("view-as/", viewing_as.begin, name="viewing"),
    path("view-as/end/", viewing_as.end, name="viewing_end"),
]

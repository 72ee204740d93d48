"""Which address answers what about status pages? Stands before the incidents' own, for one of theirs is a box of ours."""

from __future__ import annotations

from django.urls import path

from console.pages import publication, scheduled_works, status_components, status_page_form, status_pages

PAGE = "status-pages/<int:pk>/"

urlpatterns = [
    path("status-pages/", status_pages.page_list, name="statuspages"),
    path("status-pages/add/", status_page_form.add, name="statuspage_add"),
    path(PAGE, status_pages.page, name="statuspage"),
    path(f"{PAGE}edit/", status_page_form.edit, name="statuspage_edit"),
    path(f"{PAGE}components/add/", status_components.add, name="status_component_add"),
    path(f"{PAGE}components/<int:component>/", status_components.edit, name="status_component"),
    path(f"{PAGE}components/<int:component>/<str:verb>/", status_components.press, name="status_component_press"),
    path(f"{PAGE}groups/<int:group>/", status_components.group, name="status_group"),
    path(f"{PAGE}groups/<int:group>/<str:verb>/", status_components.group_press, name="status_group_press"),
    path(f"{PAGE}works/add/", scheduled_works.add, name="status_work_add"),
    path(f"{PAGE}works/<int:work>/", scheduled_works.work, name="status_work"),
    path(f"{PAGE}works/<int:work>/edit/", scheduled_works.edit, name="status_work_edit"),
    path(f"{PAGE}works/<int:work>/cancel/", scheduled_works.cancel, name="status_work_cancel"),
    path(f"{PAGE}readers/", status_pages.readers, name="statuspage_readers"),
    path(f"{PAGE}readers/<int:reader>/<str:verb>/", status_pages.reader_press, name="status_reader_press"),
    path(f"{PAGE}<str:verb>/", status_pages.press, name="statuspage_press"),
    path("incidents/<int:pk>/publication/", publication.publication, name="incident_publication"),
    path("incidents/<int:pk>/publication/<int:publication>/withdraw/", publication.withdraw, name="incident_withdraw"),
]

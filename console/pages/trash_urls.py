"""Which address answers what about the trash, clients that leave, tables that are taken out and in, and saved filters?"""

from __future__ import annotations

from django.urls import path

from console.pages import client_export, clients, csv_contacts, csv_monitors, saved_filters, trash

urlpatterns = [
    path("clients/<int:pk>/export/", client_export.export, name="client_export"),
    path("clients/<int:pk>/export/file/", client_export.file, name="client_export_file"),
    path("clients/<int:pk>/delete/", clients.delete, name="client_delete"),
    path("trash/", trash.trash_list, name="trash"),
    path("trash/<int:pk>/put-back/", trash.put_back, name="trash_put_back"),
    path("trash/<int:pk>/purge/", trash.purge, name="trash_purge"),
    path("tables/monitors.csv", csv_monitors.export, name="monitors_csv"),
    path("tables/contacts.csv", csv_contacts.export, name="contacts_csv"),
    path("contacts/several/", csv_contacts.several, name="contact_several"),
    path("filters/", saved_filters.save, name="filter_save"),
    path("filters/<int:pk>/delete/", saved_filters.delete, name="filter_delete"),
]

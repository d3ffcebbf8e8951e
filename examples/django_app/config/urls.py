"""Where requests go."""

from django.conf import settings
from django.urls import path

from postbacks import views

urlpatterns = [path("postback", views.postback)]
if settings.PROBE:
    urlpatterns.append(path("probe", views.probe))

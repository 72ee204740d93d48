# One image for every part; `compose.yaml` says which part runs where.
# Debian 13: its PostgreSQL client must not be older than the server that it dumps.
FROM python:3.11-slim-trixie
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data HOST=0.0.0.0
WORKDIR /app
# pg_dump and pg_restore, for `backup` and `restore`.
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client && rm -rf /var/lib/apt/lists/*
COPY requirements/run.txt requirements/run.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY . .
RUN useradd --system --uid 10001 watchkeeper && mkdir /data && chown watchkeeper /data
USER watchkeeper
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["python", "manage.py"]
CMD ["up"]

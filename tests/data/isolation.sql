-- A row of each table for tests/tests/isolation: those of one user, `owner`, whose id ends in 01; of
-- the team B, whose owner they are, with a member (02) and one who was removed (03); and of another
-- user (04) in a team C of their own. Operators are 05.
INSERT INTO users (id, email, hashed_password, role, status, subscription_tier, created_at, updated_at)
SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'user' || n || '@example.test', 'secret',
    CASE n WHEN 5 THEN 'admin' ELSE 'user' END, 'active', 'premium', now(), now()
FROM generate_series(1, 5) AS n;
INSERT INTO teams (id, name, created_at, updated_at) VALUES
    ('00000000-0000-0000-0000-0000000000b1', 'B', now(), now()),
    ('00000000-0000-0000-0000-0000000000c1', 'C', now(), now());
INSERT INTO team_members (id, team_id, user_id, role, status, joined_at)
SELECT gen_random_uuid(), ('00000000-0000-0000-0000-0000000000' || team)::uuid,
    ('00000000-0000-0000-0000-00000000000' || n)::uuid, role, status, now()
FROM (VALUES ('b1', 1, 'owner', 'active'), ('b1', 2, 'member', 'active'),
    ('b1', 3, 'member', 'removed'), ('c1', 4, 'owner', 'active')) AS v (team, n, role, status);

INSERT INTO jobs (id, kind, queue, payload, max_attempts, run_at, user_id, team_id, created_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', 'noop', 'upkeep', '{}', 1, now(),
    '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000b1', now());
INSERT INTO job_watchers (id, job_id, user_id, created_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-0000000000a1',
    '00000000-0000-0000-0000-000000000001', now());
INSERT INTO job_events (id, job_id, event, detail, at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-0000000000a1', 'retried', 'x', now());
INSERT INTO workers (id, host, version, slots, lease_until, draining, started_at)
VALUES ('00000000-0000-0000-0000-0000000000d1', 'host', '0', 1, now(), false, now());
INSERT INTO worker_kinds (worker_id, kind) VALUES ('00000000-0000-0000-0000-0000000000d1', 'noop');
INSERT INTO queue_controls (queue) VALUES ('upkeep') ON CONFLICT DO NOTHING;
INSERT INTO schedules (name) VALUES ('prune') ON CONFLICT DO NOTHING;
INSERT INTO noop_effects (job_id, run, at) VALUES (gen_random_uuid(), 1, now());
INSERT INTO idempotency_keys (id, user_id, key, body_hash, created_at, expires_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'k', 'h', now(), now());
INSERT INTO sessions (id, user_id, created_at, expires_at)
VALUES ('00000000-0000-0000-0000-0000000000e1', '00000000-0000-0000-0000-000000000001', now(), now());
INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at)
VALUES ('hash', '00000000-0000-0000-0000-0000000000e1', now(), now());
INSERT INTO user_searches (id, user_id, instagram_username, analysis_type, created_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'x', 'profile', now());

INSERT INTO profiles (id, username, partial, data_quality_score, refresh_count, last_refreshed,
    created_at, updated_at, raw_data)
VALUES ('00000000-0000-0000-0000-0000000000f1', 'x', false, 1, 1, now(), now(), now(), '{}');
INSERT INTO posts (id, profile_id, shortcode, hashtags, mentions, post_images, post_thumbnails,
    created_at, updated_at, raw_data)
VALUES ('00000000-0000-0000-0000-0000000000f2', '00000000-0000-0000-0000-0000000000f1', 'p', '[]',
    '[]', '[]', '[]', now(), now(), '{}');
INSERT INTO related_profiles (id, profile_id, related_username, similarity_score,
    relationship_type, source, discovered_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-0000000000f1', 'y', 1, 'related', 'x', now());
INSERT INTO user_profile_access (id, user_id, profile_id, granted_at, expires_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000001',
    '00000000-0000-0000-0000-0000000000f1', now(), now());
INSERT INTO team_profile_access (team_id, profile_id, granted_by, granted_at)
VALUES ('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000f1',
    '00000000-0000-0000-0000-000000000001', now());
INSERT INTO ai_answers (content_hash, models_hash, answer, created_at) VALUES ('c', 'm', '{}', now());
INSERT INTO stored_objects (key, content_type, cache_control, size_bytes, sha256, created_at)
VALUES ('k', 'image/webp', 'no-store', 1, 'x', now());
INSERT INTO cdn_image_assets (id, profile_id, source_type, source_id, media_id, source_url,
    source_path, processing_status, created_at, updated_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-0000000000f1', 'profile_avatar',
    '00000000-0000-0000-0000-0000000000f1', 'avatar', 'x', 'x', 'pending', now(), now());
INSERT INTO cdn_processing_stats (hour) VALUES (now());
INSERT INTO user_lists (id, user_id, name, created_at, updated_at)
VALUES ('00000000-0000-0000-0000-000000000111', '00000000-0000-0000-0000-000000000001', 'mine',
    now(), now());
INSERT INTO user_list_items (id, list_id, profile_id, position, created_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000111',
    '00000000-0000-0000-0000-0000000000f1', 0, now());
INSERT INTO exports (job_id, user_id, format, object_key, rows_written, profiles, size_bytes,
    sha256, created_at, expires_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-000000000001', 'csv', 'k',
    1, 1, 1, 'x', now(), now());

INSERT INTO system_configurations (config_key, value) VALUES ('x', '1');
INSERT INTO credit_wallets (id, user_id, anchor_at, cycle_start, next_reset_at, created_at, updated_at)
VALUES ('00000000-0000-0000-0000-000000000121', '00000000-0000-0000-0000-000000000001', now(), now(),
    now() + interval '1 month', now(), now());
INSERT INTO credit_cycles (wallet_id, cycle_start, cycle_end, granted, expired, rolled_over, at)
VALUES ('00000000-0000-0000-0000-000000000121', now(), now(), 0, 0, 0, now());
INSERT INTO credit_grants (id, wallet_id, source, amount, remaining, effective_at, created_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000121', 'plan', 1, 1, now(), now());
INSERT INTO credit_holds (id, wallet_id, user_id, action_type, amount, month_year, state, parts,
    created_at)
VALUES ('00000000-0000-0000-0000-000000000131', '00000000-0000-0000-0000-000000000121',
    '00000000-0000-0000-0000-000000000001', 'influencer_unlock', 1, '2026-11', 'held', '[]', now());
INSERT INTO credit_transactions (id, wallet_id, user_id, entry, transaction_type, amount,
    balance_before, balance_after, description, created_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000121',
    '00000000-0000-0000-0000-000000000001', 1, 'earn', 1, 0, 1, 'x', now());
INSERT INTO credit_usage (user_id, action_type, month_year)
VALUES ('00000000-0000-0000-0000-000000000001', 'influencer_unlock', '2026-11');
INSERT INTO unlocked_influencers (user_id, profile_id, credits_spent, hold_id, unlocked_at)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000f1', 25,
    '00000000-0000-0000-0000-000000000131', now());
INSERT INTO credit_top_up_orders (id, order_reference, user_id, credits_amount, price_usd_cents,
    discount_percent, payment_status, created_at)
VALUES (gen_random_uuid(), 'x', '00000000-0000-0000-0000-000000000001', 1, 1, 0, 'pending', now());
INSERT INTO audit_log (id, actor, act, subject, reason, at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000005', 'x',
    '00000000-0000-0000-0000-000000000001', 'x', now());

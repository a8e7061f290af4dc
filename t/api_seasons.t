#!/usr/bin/perl
# Seasons as clients see them: list, definition, current, what time does to a season, the late window, what XP past the last tier
# does, and a season that is published anew under cached players. On a stack of its own, because it decides which season is current.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

my $s = Battlepass::Stack->new;
my $sample = season_document();
my $start = time;

sub season {
    my ($id, %headers) = @_;
    return api($s, 'GET', "/v1/seasons/$id", { $s->as('server'), %headers });
}

sub listed {
    return { map { $_->{season} => $_ } @{ api($s, 'GET', '/v1/seasons', { $s->as('server') })->{json}{items} } };
}

# A season with these times in seconds from now.
sub at {
    my ($id, $starts, $purchase, $ends, $claim, %members) = @_;
    my $now = time;
    return small_season($id, starts_at => iso_time($now + $starts), purchase_closes_at => iso_time($now + $purchase),
        ends_at => iso_time($now + $ends), claim_until => iso_time($now + $claim), %members);
}

my $day = 86_400;
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

subtest 'the list' => sub {
    my $answer = api($s, 'GET', '/v1/seasons', { $s->as(player => 'p-1') });
    is($answer->{status}, 200, 'status');
    is($answer->{json}, hash {
        field items => [ hash {
            field season => $sample->{season};
            field state => 'active';
            field names => $sample->{name};
            field $_ => $sample->{$_} =~ s/Z$/.000Z/r for qw(starts_at purchase_closes_at ends_at claim_until);
            etc;
        } ];
        end;
    }, 'the one season, and no next');
    is(api($s, 'GET', '/v1/seasons', { $s->as($_) })->{status}, 200, "a $_") for qw(server viewer support designer admin);
    is_problem(api($s, 'GET', '/v1/seasons', {}), 401, 'token_missing', 'nobody');
};

subtest 'the definition is the document' => sub {
    my $json = season($sample->{season})->{json};
    my $total = 0;
    is($json->{tiers}, [ map { { %$_, xp_total => $total += $_->{xp} } } @{ $sample->{tiers} } ], 'tiers with totals');
    my @passes = @{ $sample->{passes} };
    is([ map { $_->{pass} } @{ $json->{passes} } ], [ map { $_->{pass} } @passes ], 'passes in order');
    for my $i (0 .. $#passes) {
        my $pass = $json->{passes}[$i];
        is($pass->{name}, $passes[$i]{name}{en}, "$pass->{pass}: name");
        is($pass->{price}, $passes[$i]{price}, "$pass->{pass}: price");
        is(!!$pass->{free}, !!$passes[$i]{free}, "$pass->{pass}: free");
        is($pass->{includes} // [], $passes[$i]{includes} // [], "$pass->{pass}: includes");
        is($pass->{instant_tiers} // 0, $passes[$i]{instant_tiers} // 0, "$pass->{pass}: instant tiers");
    }
    my $plain = sub { my ($reward) = @_; return { map { $_ => $reward->{$_} } qw(reward tier pass kind item quantity) } };
    is([ map { $plain->($_) } @{ $json->{rewards} } ], [ map { $plain->($_) } @{ $sample->{rewards} } ], 'rewards');
    is([ map { $_->{name} } @{ $json->{rewards} } ], [ map { ref $_->{name} ? $_->{name}{en} : undef } @{ $sample->{rewards} } ], 'their names');
    is($json->{overflow}{policy}, $sample->{overflow}{policy}, 'overflow');
    is([ @$json{qw(season state)} ], [ $sample->{season}, 'active' ], 'id and state');
};

subtest 'languages' => sub {
    my %wanted = (
        'de' => 'de', 'en' => 'en', 'de-AT' => 'de', 'DE' => 'de', 'fr' => 'en', 'fr, de' => 'de', 'de;q=0.5, en;q=0.4' => 'de',
        'de;q=0.4, en;q=0.5' => 'en', '*' => 'en', 'de;q=0, *' => 'en', 'fr;q=1, de;q=0.1' => 'de', '' => 'en', 'de-DE-1996' => 'de',
        ';;;,,,=' => 'en', 'q=1' => 'en', ('x' x 3000) => 'en', ('de,' x 1000) => 'de', "'; DROP" => 'en',
    );
    for my $header (sort keys %wanted) {
        my $answer = season($sample->{season}, 'Accept-Language' => $header);
        my $name = substr $header, 0, 30;
        is($answer->{json}{name}, $sample->{name}{ $wanted{$header} }, "'$name': $wanted{$header}");
        is($answer->{headers}{'content-language'}, $wanted{$header}, "'$name': Content-Language");
        like($answer->{headers}{vary}, qr/Accept-Language/i, "'$name': Vary");
    }
    my $german = season($sample->{season}, 'Accept-Language' => 'de')->{json};
    is([ map { $_->{name} } @{ $german->{passes} } ], [ map { $_->{name}{de} } @{ $sample->{passes} } ], 'names of passes');
    is([ map { $_->{name} } @{ $german->{rewards} } ], [ map { ref $_->{name} ? $_->{name}{de} : undef } @{ $sample->{rewards} } ], 'names of rewards');
    is(api($s, 'GET', '/v1/seasons', { $s->as('server'), 'Accept-Language' => 'de' })->{json}{items}[0]{name}, $sample->{name}{de}, 'the list');
};

subtest 'caching the definition' => sub {
    my ($english, $german) = map { season($sample->{season}, 'Accept-Language' => $_) } 'en', 'de';
    like($english->{headers}{'cache-control'}, qr/\bpublic\b/, 'public');
    isnt($english->{headers}{etag}, $german->{headers}{etag}, 'an ETag for each language');
    for my $match ($english->{headers}{etag}, "\"x\", $english->{headers}{etag}", '*') {
        my $answer = season($sample->{season}, 'Accept-Language' => 'en', 'If-None-Match' => $match);
        is([ $answer->{status}, $answer->{body}, $answer->{headers}{etag} ], [ 304, '', $english->{headers}{etag} ], "304 for $match");
    }
    is(season($sample->{season}, 'If-None-Match' => $german->{headers}{etag}, 'Accept-Language' => 'en')->{status}, 200, 'not for the other language');
    my $head = api($s, 'HEAD', "/v1/seasons/$sample->{season}", { $s->as('server') });
    is([ $head->{status}, $head->{body}, $head->{headers}{etag} ], [ 200, '', $english->{headers}{etag} ], 'HEAD');
    is_problem(api($s, 'GET', "/v1/seasons/$sample->{season}", {}), 401, 'token_missing', 'nobody');
};

subtest 'a draft is not seen' => sub {
    publish_season($s, small_season('draft-1'), only => 'import');
    publish_season($s, { %$sample, tiers => [ { tier => 1, xp => 5 } ], rewards => [], overflow => { policy => 'none' } }, only => 'import');
    sleep 1.2;
    is([ keys %{ listed() } ], [ $sample->{season} ], 'not in the list');
    my $player = $s->fresh_player;
    is_problem(season('draft-1'), 404, 'season_not_found', 'definition');
    is_problem(progress($s, $player, season => 'draft-1'), 404, 'season_not_found', 'progress');
    is_problem(grant($s, $player, 1, season => 'draft-1'), 404, 'season_not_found', 'grant');
    is_problem(batch($s, [ { player => $player, amount => 1, source => 'm', idempotency_key => 'x' } ], season => 'draft-1'), 404, 'season_not_found', 'batch');
    is_problem(api($s, 'GET', "/v1/seasons/draft-1/players/$player/xp-grants", { $s->as('server') }), 404, 'season_not_found', 'ledger');
    is(scalar @{ season($sample->{season})->{json}{tiers} }, scalar @{ $sample->{tiers} }, 'a new draft of a published season changes nothing');
    is(progress($s, $player)->{json}{tier_count}, scalar @{ $sample->{tiers} }, 'for players neither');
};

subtest 'a bad season file is refused, whatever it is' => sub {
    my $rows = fingerprint($s);
    my $published = season($sample->{season})->{body};
    for my $change ([ tiers => [] ], [ passes => [] ], [ ends_at => '2020-01-01T00:00:00Z' ], [ season => 'current' ], [ season => 'a b' ], [ bonus => 1 ]) {
        like(dies { publish_season($s, { %$sample, @$change }) }, qr/^season import: /, "$change->[0]");
    }
    my ($status, $text) = $s->ctl('season', 'publish', 'nowhere');
    isnt($status, 0, 'publishing what is not there');
    is(fingerprint($s), $rows, 'nothing changed');
    is(season($sample->{season})->{body}, $published, 'nothing is seen');
};

subtest 'current: one, several, none' => sub {
    my $player = $s->fresh_player;
    my %calls = (
        definition => sub { season('current') },
        progress => sub { progress($s, $player, season => 'current') },
        'a player\'s progress' => sub { progress($s, 'me', season => 'current', as => [player => $player]) },
        lookup => sub { api($s, 'POST', '/v1/seasons/current/progress:lookup', { $s->as('server') }, { players => [$player] }) },
        grant => sub { grant($s, $player, 1, season => 'current') },
        batch => sub { batch($s, [ { player => $player, amount => 1, source => 'm', idempotency_key => fresh_key() } ], season => 'current') },
        ledger => sub { api($s, 'GET', "/v1/seasons/current/players/$player/xp-grants", { $s->as('server') }) },
    );
    for my $name (sort keys %calls) {
        my $answer = $calls{$name}->();
        ok($answer->{status} == 200 || $answer->{status} == 201, "one: $name");
        like($answer->{body}, qr/"season":"$sample->{season}"/, "one: $name is of that season");
    }
    publish_season($s, small_season('twin'));
    my $rows = fingerprint($s);
    is_problem($calls{$_}->(), 409, 'season_ambiguous', "several: $_") for sort keys %calls;
    is(fingerprint($s), $rows, 'several: nothing changed');
    is(progress($s, $player, season => $sample->{season})->{status}, 200, 'several: by its name');
    publish_season($s, at($_, -3 * $day, -2 * $day, -$day, $day)) for 'twin';
    is($calls{definition}->()->{json}{season}, $sample->{season}, 'one again when the other has ended');
    publish_season($s, { %$sample, ends_at => '2026-03-01T00:00:00Z', purchase_closes_at => '2026-02-01T00:00:00Z' });
    $rows = fingerprint($s);
    is_problem($calls{$_}->(), 404, 'season_not_found', "none: $_") for sort keys %calls;
    is(fingerprint($s), $rows, 'none: nothing changed');
    publish_season($s, $sample);
    is($calls{definition}->()->{status}, 200, 'and one again');
};

subtest 'states by time' => sub {
    my %seasons = (
        published => at('st-published', $day, 2 * $day, 3 * $day, 4 * $day),
        purchase_closed => at('st-closed', -$day, -60, $day, 2 * $day),
        ended => at('st-ended', -3 * $day, -2 * $day, -$day, $day),
        archived => at('st-archived', -4 * $day, -3 * $day, -2 * $day, -$day),
    );
    publish_season($s, $seasons{$_}) for sort keys %seasons;
    my $listed = listed();
    my $player = $s->fresh_player;
    for my $state (sort keys %seasons) {
        my $id = $seasons{$state}{season};
        is($listed->{$id}{state}, $state, "$state: in the list") unless $state eq 'archived' && !$listed->{$id};
        is(season($id)->{json}{state}, $state, "$state: in the definition");
        my $progress = progress($s, $player, season => $id);
        is([ $progress->{status}, $progress->{json}{xp} ], [200, 0], "$state: progress can be read");
        my $answer = grant($s, $player, 1, season => $id);
        if ($state eq 'purchase_closed') {
            is($answer->{status}, 201, "$state: XP counts");
        } else {
            is_problem($answer, 409, 'season_not_active', "$state: a grant");
            my $results = batch($s, [ { player => $player, amount => 1, source => 'm', idempotency_key => fresh_key() } ], season => $id)->{json}{results};
            is([ @{ $results->[0] }{qw(status code)} ], [ 'rejected', 'season_not_active' ], "$state: a batch");
            is(progress($s, $player, season => $id)->{json}{revision}, '0', "$state: nothing changed");
        }
    }
};

subtest 'a season begins, and ends, without anybody doing anything' => sub {
    my $document = at('brief', 2.5, 4, 5, $day);
    publish_season($s, $document);
    my $player = $s->fresh_player;
    my $begin = time;
    my (%first, %refused, %taken);
    while (time < $begin + 8) {
        my $asked = time;
        my $state = season('brief')->{json}{state};
        my $grant = grant($s, $player, 1, season => 'brief');
        $first{$state} //= $asked;
        ($grant->{status} == 201 ? $taken{$state} : $refused{$state})++;
        last if $first{ended} && time > $first{ended} + 0.5;
        sleep 0.05;
    }
    is([ sort { $first{$a} <=> $first{$b} } keys %first ], [ 'published', 'active', 'purchase_closed', 'ended' ], 'the states in order');
    is(\%refused, hash { field published => T; field ended => T; etc }, 'refused before and after');
    is(\%taken, hash { field active => T; field purchase_closed => T; etc }, 'taken in between');
    # One request may straddle a change.
    ok(($refused{$_} // 0) <= 1, "$_: not refused") for qw(active purchase_closed);
    ok(($taken{$_} // 0) <= 1, "$_: not taken") for qw(published ended);
};

subtest 'the late window' => sub {
    my $now = time;
    my $end = int($now) - 3600;
    # Closes in three seconds.
    my $window = int($now + 3 - $end) + 1;
    publish_season($s, small_season('late', starts_at => iso_time($end - $day), purchase_closes_at => iso_time($end - 10), ends_at => iso_time($end),
        late_window_s => $window));
    my $player = $s->fresh_player;
    my $inside = iso_time($end - 1);
    my $key = fresh_key();
    my $first = grant($s, $player, 250, season => 'late', occurred_at => $inside, key => $key);
    is($first->{status}, 201, 'earned before the end');
    is(grant($s, $player, 1, season => 'late', occurred_at => iso_time($end - 0.001))->{status}, 201, 'a millisecond before the end');
    is(grant($s, $player, 1, season => 'late', occurred_at => iso_time($end - 0.001) =~ s/Z$/+00:00/r)->{status}, 201, 'with an offset');
    is_problem(grant($s, $player, 1, season => 'late', occurred_at => iso_time($end)), 409, 'season_not_active', 'earned at the end');
    is_problem(grant($s, $player, 1, season => 'late', occurred_at => iso_time($end + 1)), 409, 'season_not_active', 'earned after the end');
    is_problem(grant($s, $player, 1, season => 'late'), 409, 'season_not_active', 'earned now');
    my $results = batch($s, [ map { { player => $player, amount => 1, source => 'm', idempotency_key => fresh_key(), occurred_at => $_ } }
        $inside, iso_time($end), $inside ], season => 'late')->{json}{results};
    is([ map { $_->{code} // $_->{status} } @$results ], [ 'granted', 'season_not_active', 'granted' ], 'each entry of a batch for itself');
    is(progress($s, $player, season => 'late')->{json}{xp}, 254, 'all that was taken counts');
    sleep($end + $window + 0.1 - time) if time < $end + $window + 0.1;
    is_problem(grant($s, $player, 1, season => 'late', occurred_at => $inside), 409, 'season_not_active', 'the window has closed');
    my $again = grant($s, $player, 250, season => 'late', occurred_at => $inside, key => $key);
    is([ @$again{qw(status body)} ], [ 201, $first->{body} ], 'a repeated grant still has its first answer');
    is($again->{headers}{'idempotent-replayed'}, 'true', 'and is marked');
    publish_season($s, at('late-none', -3 * $day, -2 * $day, -3600, $day));
    is_problem(grant($s, $player, 1, season => 'late-none', occurred_at => iso_time($now - 2 * $day)), 409, 'season_not_active', 'without a window');
    publish_season($s, at('late-claimed', -3 * $day, -2 * $day, -3600, -1800, late_window_s => $day));
    is_problem(grant($s, $player, 1, season => 'late-claimed', occurred_at => iso_time($now - 2 * $day)), 409, 'season_not_active',
        'the window closes with claim_until');
};

subtest 'XP past the last tier' => sub {
    my $more = { reward => 'more', pass => 'free', kind => 'currency', item => 'coins', quantity => 9 };
    my %overflows = (
        none => { policy => 'none' },
        repeat => { policy => 'repeat', every => 50, times => 3, reward => $more },
        locked => { policy => 'repeat', every => 50, times => 3, reward => { %$more, pass => 'gold' } },
        currency => { policy => 'currency', every => 50, item => 'coins', quantity => 2 },
    );
    my @all = map { "r$_" } 1 .. 10;
    for my $policy (sort keys %overflows) {
        my $id = "over-$policy";
        publish_season($s, small_season($id, overflow => $overflows{$policy}));
        is(season($id)->{json}{overflow}{policy}, $overflows{$policy}{policy}, "$policy: told by the definition");
        my $player = $s->fresh_player;
        my $xp = 0;
        my %unlocked;
        for my $target (999, 1000, 1049, 1050, 1149, 1200, 5000) {
            my $granted = grant($s, $player, $target - $xp, season => $id)->{json};
            $xp = $target;
            $unlocked{$_}++ for @{ $granted->{overflow}{unlocked} // [] };
            for my $from ('warm', 'store') {
                $s->redis(DEL => cache_key($s, $player, $id)) if $from eq 'store';
                my $json = progress($s, $player, season => $id)->{json};
                is($json->{xp}, $xp, "$policy at $xp, $from: it counts");
                is($json->{tier}, $xp >= 1000 ? 10 : 9, "$policy at $xp, $from: tier");
                is(!!$json->{completed}, !!($xp >= 1000), "$policy at $xp, $from: completed");
                my $units = $xp < 1000 ? 0 : int(($xp - 1000) / 50);
                my $times = $units > 3 ? 3 : $units;
                my @extra = $policy eq 'repeat' ? map { "more.$_" } 1 .. $times : ();
                is([ sort @{ $json->{claimable} } ], [ sort @all[0 .. $json->{tier} - 1], @extra ], "$policy at $xp, $from: claimable");
                is([ sort keys %unlocked ], \@extra, "$policy at $xp, $from: unlocked by the grants so far");
                is($json->{overflow_units}, $units, "$policy at $xp: units") if $policy eq 'currency';
                ok(!exists $json->{overflow_units}, "$policy at $xp: no units") if $policy eq 'none';
            }
        }
        is([ grep { $_ != 1 } values %unlocked ], [], "$policy: each unlocked once");
    }
};

subtest 'published anew under cached players' => sub {
    my $document = small_season('again', ends_at => iso_time($start + $day), purchase_closes_at => iso_time($start + $day));
    my $revision = publish_season($s, $document);
    my @players = map { $s->fresh_player } 1 .. 30;
    grant($s, $players[$_], 50 * $_, season => 'again') for 1 .. $#players;
    progress($s, $_, season => 'again') for @players, @players;
    my @old = map { progress($s, $_, season => 'again') } @players;
    is([ grep { !from_cache($_) } @old ], [], 'every player is cached');
    my $old = season('again');
    my $replayed = fresh_key();
    my $granted = grant($s, $players[0], 10, season => 'again', key => $replayed);
    $old[0] = progress($s, $players[0], season => 'again');

    # Published without waiting for anybody: the second begins when the command has ended.
    my $file = $s->dir . '/again.json';
    open my $out, '>', $file or die "$file: $!";
    print {$out} JSON::PP::encode_json({ %$document, tiers => [ map { { tier => $_, xp => 30 } } 1 .. 20 ] });
    close $out;
    is([ $s->ctl('season', 'import', $file) ]->[0], 0, 'imported');
    is([ $s->ctl('season', 'publish', 'again') ]->[0], 0, 'published');
    my $published = time;
    my $tier = sub { my $tier = int $_[0] / 30; return $tier > 20 ? 20 : $tier };
    # Asked all the while: what a reader puts into the cache meanwhile must not stay.
    my $fresh_since;
    while (time < $published + 3) {
        my $i = int rand @players;
        my $json = progress($s, $players[$i], season => 'again')->{json};
        if ($json->{tier_count} == 20) {
            $fresh_since //= time - $published;
        }
    }
    ok(defined $fresh_since, 'the new tiers came within a second of their moment') and note(sprintf 'after %.0f ms', 1000 * $fresh_since);
    for my $round (1 .. 20) {
        for my $i (0 .. $#players) {
            my $answer = progress($s, $players[$i], season => 'again');
            my $json = $answer->{json};
            my $xp = $old[$i]{json}{xp};
            my @got = (@$json{qw(xp revision tier tier_count season_revision)}, $answer->{headers}{etag} ne $old[$i]{headers}{etag} ? 'new' : 'old');
            my @want = ($xp, $old[$i]{json}{revision}, $tier->($xp), 20, $revision + 1, 'new');
            is(\@got, \@want, "round $round, player $i") or last if "@got" ne "@want" || $round == 20;
        }
    }
    my $new = season('again');
    is([ $new->{json}{season_revision}, scalar @{ $new->{json}{tiers} } ], [ $revision + 1, 20 ], 'the definition, too');
    isnt($new->{headers}{etag}, $old->{headers}{etag}, 'with another ETag');
    is(season('again', 'If-None-Match' => $old->{headers}{etag})->{status}, 200, 'the old ETag is no match');
    my $after = grant($s, $players[0], 25, season => 'again')->{json};
    is([ @$after{qw(xp_before xp_after tier_before tier_after)} ], [ 10, 35, 0, 1 ], 'grants go by the new tiers');
    is(grant($s, $players[0], 10, season => 'again', key => $replayed)->{body}, $granted->{body}, 'a replay is what it was');
    publish_season($s, $document);
    is([ map { progress($s, $_, season => 'again')->{json}{tier_count} } @players ], [ (10) x @players ], 'and back');
};

done_testing;
